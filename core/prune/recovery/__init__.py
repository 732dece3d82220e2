"""What training gives back: a distillation from the original, with pruned weights held at zero.

May import `plan`, the faces and shared rooms. Never a method.
"""
