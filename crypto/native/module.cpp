#include <nanobind/nanobind.h>

void bind_blocks(nanobind::module_& m);
void bind_curve(nanobind::module_& m);
void bind_montgomery(nanobind::module_& m);

NB_MODULE(_native, m) {
  bind_blocks(m);
  bind_curve(m);
  bind_montgomery(m);
}
