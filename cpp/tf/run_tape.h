// The tape of a run as a value of TensorFlow.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "engine/engine.h"
#include "tensorflow/core/framework/variant.h"
#include "tensorflow/core/framework/variant_encode_decode.h"
#include "tensorflow/core/framework/variant_tensor_data.h"

namespace nengo_dl {

// What a variant holds: a share in the tape, which lives as long as a tensor has one; copies are shares, too. Unlike a
// string it has zeros, which control flow makes for all that a run hands to its gradient, and unlike numbers these take
// no memory: tapes that hold nothing.
class RunTape {
 public:
  RunTape() = default;  // nothing is recorded
  RunTape(std::shared_ptr<Tape> tape, bool on_host) : tape_(std::move(tape)), on_host_(on_host) {}

  const std::shared_ptr<Tape>& tape() const { return tape_; }
  bool on_host() const { return on_host_; }  // whether the host can read its memory

  // What a variant asks for. A tape is no data for another process.
  std::string TypeName() const { return "NengoDL>Tape"; }
  std::string DebugString() const { return tape_ ? "a tape of " + std::to_string(tape_->bytes) + " bytes" : "no tape"; }
  void Encode(tensorflow::VariantTensorData*) const {}
  bool Decode(const tensorflow::VariantTensorData&) { return false; }

 private:
  std::shared_ptr<Tape> tape_;
  bool on_host_ = true;
};

}  // namespace nengo_dl
