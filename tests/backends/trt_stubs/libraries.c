/* The nine functions that the Python bindings import from TensorRT's libraries, doing nothing: enough to
   import the bindings and look at their classes on a machine where TensorRT itself is not installed. */
#define STUB(name) void *name(void) { return 0; }
STUB(createInferBuilder_INTERNAL)
STUB(createInferRuntime_INTERNAL)
STUB(createInferRefitter_INTERNAL)
STUB(createNvOnnxParser_INTERNAL)
STUB(createNvOnnxParserRefitter_INTERNAL)
STUB(getBuilderPluginRegistry)
STUB(getPluginRegistry)
STUB(getNvOnnxParserVersion)
STUB(initLibNvInferPlugins)
