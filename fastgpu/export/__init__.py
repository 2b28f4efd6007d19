"""Export: a trained network as a file for another runtime, with everything that a reader of the file needs in it.

One file a format. `fastgpu.export.graph` makes the one module that is exported; `fastgpu.export.manifest` is what the
file says of itself. This package loads torch only where a file is made.
"""
