// See ../../README.md: no name of it is used.
#pragma once
