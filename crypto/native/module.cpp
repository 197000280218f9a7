#include <nanobind/nanobind.h>

void bind_blocks(nanobind::module_& m);
void bind_curve(nanobind::module_& m);
void bind_lattice(nanobind::module_& m);
void bind_montgomery(nanobind::module_& m);
void bind_noise(nanobind::module_& m);

NB_MODULE(_native, m) {
  bind_blocks(m);
  bind_curve(m);
  bind_montgomery(m);
  bind_noise(m);
  bind_lattice(m);
}
