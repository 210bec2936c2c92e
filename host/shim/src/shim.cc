// All of the shim in one file: each of these would read libtorch's headers again, 54 s of compiling where this takes 18.
#include "lossmith-torch-shim/src/context.cc"
#include "lossmith-torch-shim/src/distance.cc"
#include "lossmith-torch-shim/src/hinge.cc"
#include "lossmith-torch-shim/src/optimizer.cc"
#include "lossmith-torch-shim/src/python.cc"
#include "lossmith-torch-shim/src/script.cc"
