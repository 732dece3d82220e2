"""Distillation: a student learns what a teacher predicts.

Spec, check, run, result and events, as every experiment. Its parts: `loss` (features and relations; divergences lie in `core.training`), `teacher`
(resident, streamed, cached, a server), `data` (answers of a teacher as training text), `student` (what is trained, and how it is written).
"""
