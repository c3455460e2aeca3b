/* The parts of report.html as they stand in web/, each between two symbols: no generated source. The
   assembler is told where web/ is (src/CMakeLists.txt). */
#if defined(__APPLE__)
#define SYMBOL(name) _##name
  .section __DATA,__const
#else
#define SYMBOL(name) name
  .section .rodata
#endif
#define EMBED(name, file)                                                            \
  .global SYMBOL(spark_report_##name##_begin) ; .global SYMBOL(spark_report_##name##_end) ; \
  SYMBOL(spark_report_##name##_begin): .incbin file ;                                \
  SYMBOL(spark_report_##name##_end): .byte 0 ;

EMBED(page, "report.html")
EMBED(style, "report.css")
EMBED(chart_js, "vendor/chart.min.js")
EMBED(data_js, "data.js")
EMBED(elements_js, "elements.js")
EMBED(charts_js, "charts.js")
EMBED(quality_js, "quality.js")
EMBED(cost_js, "cost.js")
EMBED(pictures_js, "pictures.js")
EMBED(table_js, "table.js")
EMBED(page_js, "page.js")

#if defined(__ELF__)
  .section .note.GNU-stack, "", %progbits
#endif
