"""What `recognise` may look at, by the name that plugins have imported so far: see `hubfold.backend.peek`."""

from hubfold.backend.peek import absolute as absolute
from hubfold.backend.peek import exists as exists
from hubfold.backend.peek import is_folder as is_folder
from hubfold.backend.peek import link_text as link_text
from hubfold.backend.peek import names_in as names_in
