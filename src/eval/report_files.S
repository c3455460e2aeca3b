/* The parts of report.html as they stand in web/, each between two symbols: no generated source. The
   assembler is told where web/ is (src/CMakeLists.txt). */
#include "base/embed.inc"

EMBED(spark_report_page, "report.html")
EMBED(spark_report_style, "report.css")
EMBED(spark_report_chart_js, "vendor/chart.min.js")
EMBED(spark_report_data_js, "data.js")
EMBED(spark_report_elements_js, "elements.js")
EMBED(spark_report_charts_js, "charts.js")
EMBED(spark_report_quality_js, "quality.js")
EMBED(spark_report_cost_js, "cost.js")
EMBED(spark_report_pictures_js, "pictures.js")
EMBED(spark_report_table_js, "table.js")
EMBED(spark_report_page_js, "page.js")
