// How derivatives may flow through a program, and which values they need on the way back.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/intervals.h"
#include "engine/kind.h"

namespace nengo_dl {

struct FlowOperand {
  const std::string* name;
  const Operand* operand;
  Access access;
  bool in_place;                 // in a state or learned buffer
  bool overwrites;               // write, or inc with set=1
  bool value_needed = false;     // the way back may look at its value, and it is not in a param buffer
  bool written_earlier = false;  // in place: an op before this one in the step writes elements of it
  bool written_later = false;    // in place: an op behind this one does
  bool changed_later = false;    // with rows, where `value_needed`: an op behind this one writes elements of it
  bool written() const { return access != Access::read; }
  bool replaces() const { return overwrites || access == Access::update; }  // the element's value before is lost
  bool read() const { return access == Access::read || access == Access::update; }
};

struct FlowOp {
  const OpRecord* record;
  const Kind* kind;
  // The record as it is compiled: operands in place that see what the step has written get shift 1, so that on the way
  // back they find the recorded value of after the step. Say `v` lies in place, op A updates it and op B reads it: at
  // step 3, A takes row 3 of the recorded values (shift 0 of its old value) and B, which read what A had written,
  // row 4. Running forward, rows of such a buffer have no distance, so that the shift says nothing.
  const OpRecord* compiled;
  int64_t input = -1, output = -1;  // the port of an `input` or `output` op
  bool passes = false;              // derivatives pass through it
  std::vector<FlowOperand> operands = {};
  int overwrites_input = -1;    // an operand that reads elements which the op overwrites in place
  int overwrites_earlier = -1;  // an operand that overwrites what an op before it, which passes derivatives, wrote

  // Whether an attribute lists the elements of an operand that it writes, and which they are, of all blocks.
  bool lists_elements(const FlowOperand& o) const { return *o.name == kind->settable && record->has(kind->elements); }
  int64_t listed_count(const FlowOperand& o) const;  // of all blocks
  std::vector<int64_t> written_elements(const FlowOperand& o) const;
};

// What is true for all runs of a program.
struct Flow {
  explicit Flow(const Program& program);
  Flow(const Flow&) = delete;

  std::vector<std::vector<FlowOp>> stages;     // per region
  std::vector<int64_t> uses;                   // per buffer: operands that name it
  std::vector<Intervals> changed_in_sequence;  // per buffer, if in place
  std::vector<Intervals> changed_in_loops;
  std::vector<std::map<int64_t, Intervals>> changed_in_loop;  // per buffer: region -> elements

 private:
  void add_op(const Program& program, const OpRecord& record, std::vector<FlowOp>* stage);
  void find_overwritten_inputs(const Program& program, int64_t* steps);
  void find_lost_values(const Program& program, int64_t* steps);
  void find_changed_values(const Program& program, int64_t* steps);
  void order_writers(size_t buffers);
  void shift_records();

  std::deque<OpRecord> shifted_;
};

// The buffers whose adjoints a gradient needs: what depends on something wanted and acts on something given.
struct Activity {
  std::vector<char> active;                      // per buffer
  std::vector<char> input_wanted, output_given;  // per port
  bool runs(const FlowOp& op) const;             // derivatives pass through it
  bool writes_active(const FlowOp& op) const;
};
struct Wishes {
  std::vector<char> inputs, params, outputs, learned;  // inputs and params wanted; outputs and learned given
  bool state_wanted, state_given;
};
Activity find_activity(const Program& program, const Flow& flow, const Wishes& wishes);

// The values that the way back reads.
struct Needs {
  Needs(const Program& program, const Flow& flow, const Activity& activity);  // ProgramError: no gradient

  struct Piece {
    int64_t buffer, first, count;  // elements
  };
  std::vector<char> rows;      // per buffer: a row per step is recorded
  std::vector<char> constant;  // per buffer: in place, and what is needed of it never changes
  // Of buffers in place with rows:
  std::vector<std::vector<Piece>> changing;  // per region: copied to their row after each of its steps
  std::vector<Piece> lasting;                // what no loop changes: copied to all rows

 private:
  void refuse_overwritten_input(const Program& program, const Activity& activity, const FlowOp& op,
                                const FlowOperand& o);
  void refuse_lost_values(const Program& program, const Activity& activity, const FlowOp& op, const FlowOperand& o);
  void need(const Program& program, const Flow& flow, const FlowOp& op, const FlowOperand& o);
  void place_pieces(const Program& program, const Flow& flow);
};

}  // namespace nengo_dl
