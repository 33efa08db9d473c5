#include "ops/util.h"

#include "engine/random.h"

namespace nengo_dl {

void check_generator(const OpRecord& op, const Program& program) {
  const int64_t rng = op.integer("rng");
  if (rng < 0 || rng > program.istate_size - kGeneratorWords)
    op.fail("attribute 'rng' is " + std::to_string(rng) + ", but a generator of " + std::to_string(kGeneratorWords) +
            " words must fit into the integer state of " + std::to_string(program.istate_size) + " words");
}

void check_flag(const OpRecord& op, const std::string& key) {
  const int64_t value = op.integer(key);
  if (value != 0 && value != 1) op.fail("attribute '" + key + "' is " + std::to_string(value) + ", 0 or 1 was due");
}

void check_one_block(const OpRecord& op) {
  if (op.blocks != 1) op.fail("it has " + std::to_string(op.blocks) + " blocks, 1 was due");
}

}  // namespace nengo_dl
