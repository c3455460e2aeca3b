/* The default model's file as two symbols: no generated source, no copy at start. */
#if defined(__APPLE__)
#define SYMBOL(name) _##name
  .section __DATA,__const
#else
#define SYMBOL(name) name
  .section .rodata
#endif
  .global SYMBOL(spark_embedded_model_begin)
  .global SYMBOL(spark_embedded_model_end)
  .balign 64
SYMBOL(spark_embedded_model_begin):
  .incbin SPARK_EMBEDDED_MODEL
SYMBOL(spark_embedded_model_end):
  .byte 0
#if defined(__ELF__)
  .section .note.GNU-stack, "", %progbits
#endif
