// The TensorFlow version this library was built for, as text that can be found in the file without loading it
// (python/nengo_dl/layer/tf_ops.py): loading it under another version fails on missing symbols, or worse.
#ifndef NENGO_DL_TF_VERSION
#error "NENGO_DL_TF_VERSION must be defined as the version of the TensorFlow that is built against, e.g. \"2.21.0\""
#endif

extern "C" __attribute__((used, visibility("default"))) const char nengo_dl_built_for_tensorflow[] =
    "nengo_dl-built-for-tensorflow=" NENGO_DL_TF_VERSION;
