// How derivatives may flow through a program, and which values they need on the way back.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/intervals.h"

namespace nengo_dl {

struct FlowOperand {
  const std::string* name;
  const Operand* operand;
  Access access;
  bool in_place;        // in a state or learned buffer
  bool overwrites;      // write, or inc with set=1
  bool needed = false;  // grad_reads() names it, and it is not in a param buffer
  bool before = false;  // in place: an op before this one in the step writes elements of it
  bool after = false;   // in place: an op behind this one does
  bool written() const { return access != Access::read; }
  bool read() const { return access == Access::read || access == Access::update; }
};

struct FlowOp {
  const OpRecord* record;
  int64_t input = -1, output = -1;  // the port of an `input` or `output` op
  bool passes = false;              // Op::passes_gradient()
  std::vector<FlowOperand> operands;
  int own = -1;  // an operand that reads elements which the op overwrites in place
};

// What is true for all runs of a program.
struct Flow {
  explicit Flow(const Program& program);
  // The op's record as it is compiled: operands in place that see what the step has written get shift 1, so that on the
  // way back they find row t+1 of the recorded values. Running forward, rows of such buffers have no distance.
  static OpRecord shifted(const FlowOp& op);

  std::vector<std::vector<FlowOp>> stages;                    // per region
  std::vector<Intervals> changed_in_sequence;                 // per buffer, if in place
  std::vector<std::map<int64_t, Intervals>> changed_in_loop;  // per region: buffer -> elements

 private:
  void add_op(const Program& program, const OpRecord& record, std::vector<FlowOp>* stage);
  void find_own();
  void order_writers(size_t buffers);
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
  std::vector<char> rows;                 // per buffer: a row per step is recorded
  std::vector<char> constant;             // per buffer: in place, and what is needed of it never changes
  std::vector<std::vector<Piece>> saved;  // per region: copied to their row after each of its steps
  std::vector<Piece> rest;                // of the buffers with `saved` pieces: what no loop changes

 private:
  void refuse_own(const Program& program, const Activity& activity, const FlowOp& op, const FlowOperand& o);
  void need(const Program& program, const Flow& flow, const FlowOp& op, const FlowOperand& o);
  void place_pieces(const Program& program, const Flow& flow);
};

}  // namespace nengo_dl
