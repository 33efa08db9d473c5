// The table of op kinds: what it holds, what it refuses, and that every kind can be run.
#include <algorithm>
#include <stdexcept>

#include "engine/backend.h"
#include "engine/kind.h"
#include "helpers/expect.h"

namespace {

using namespace nengo_dl;

void check_kinds() {
  const std::vector<std::string> names = kind_names();
  expect(names.size() > 15 && std::is_sorted(names.begin(), names.end()), "kinds are listed in order");
  for (const std::string& name : names) {
    const Kind& kind = find_kind(name);
    expect(kind.name == name, name + " is found by its name");
    const KernelMaker& maker = cpu_backend().find_kernel(name);
    expect(maker.make<float>() && maker.make<double>(), name + " has kernels of both precisions");
    expect(kind.settable.empty() || (kind.find_arg(kind.settable) && kind.find_attr("set")),
           name + ": what `set` overwrites is an argument");
    for (const std::string& read : kind.reads) expect(kind.find_arg(read), name + " reads an argument '" + read + "'");
    for (const ArgSpec& a : kind.args)
      expect(a.old_value || (a.access == Access::update || a.access == Access::write),
             name + ": what is read or added to has a value before");
  }
}

void check_numbered_arguments() {
  const Kind& kind = find_kind("callback");
  expect(kind.find_arg("in0") && kind.find_arg("in12")->access == Access::read, "in0 and in12 are `in*`");
  expect(kind.find_arg("state3")->access == Access::update, "state3 is `state*`");
  for (const char* name : {"in", "in01", "in1x", "nothing"})
    expect(!kind.find_arg(name), std::string(name) + " is no argument");
}

void check_refusals() {
  expect_throw<ProgramError>([] { find_kind("densest"); }, "dense, ");
  expect_throw<ProgramError>([] { cpu_backend().find_kernel("densest"); }, "dense");
  expect_throw<std::logic_error>([] { register_kind(Kind{"dense", {}}); }, "dense");
  expect_throw<std::logic_error>([] { cpu_backend().add_kernel("dense", {}); }, "dense");
}

}  // namespace

int main() {
  check_kinds();
  check_numbered_arguments();
  check_refusals();
  return failures != 0;
}
