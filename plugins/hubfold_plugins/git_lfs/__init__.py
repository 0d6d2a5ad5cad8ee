"""The store of git-lfs and the work trees that are filled from it; what files of git's say."""
