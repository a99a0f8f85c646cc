"""Which files are the sources of one fusion, by their names.

A source is a *template*, the names of its files with `{}` for the part that all sources of a fusion
share (`templates`). Templates are given, or found: from the sub-folders of a folder
(`subfolders`), or from what the names in it have in common (`names`), with the words that people
use (`vocabulary`). `matching` makes the sources of each fusion from the files of the templates, and
`folder_search` says what else there is in a folder.
"""
