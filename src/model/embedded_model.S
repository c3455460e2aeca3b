/* The default model's file as two symbols: no generated source, no copy at start. */
#include "base/embed.inc"

EMBED(spark_embedded_model, SPARK_EMBEDDED_MODEL)
