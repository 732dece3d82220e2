"""The application around the tabs: palette, help, jump mode, confirmations, crash log.

May import `terminal`. Never one tab: tabs are data in `panes`, imported when first opened.
"""
