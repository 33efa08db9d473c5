// From the ops of a loop to those of a team: where signals lie, what is loaded and stored.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "cuda/loop_order.h"
#include "cuda/team_loop_order.h"
#include "engine/backend.h"

namespace nengo_dl {
namespace cuda {

enum Whose { old_row_of, new_row_of, value_of };  // value_of: on the way back, which else is about adjoints

template <class T>
class TeamPlan {
 public:
  TeamPlan(const std::vector<LoopOp>& ops, const Program& program, Tables& tables, bool back)
      : program_(program), tables_(tables), back_(back) {
    look_at(ops);
    if (!good) return;
    place_all(ops);
    add_ahead();
    if (back)
      for (size_t i = ops.size(); i-- > 0;) add_back(ops[i]);
    else
      for (const LoopOp& op : ops) add(*op.op);
    add_behind();
    if (back) clear_locals();
    order_team(before, steps, after, back);
  }

  bool good = true;
  std::vector<TeamOp<T>> before, steps, after;
  std::vector<int64_t> held, rowed;  // carried buffers whose adjoints have to lie in place, or in rows
  int32_t stride = 0, models = 0;

 private:
  struct Use {
    bool read_old = false, read_new = false, written = false, whole = false, in_loop = false;
    int64_t ops = 0;  // of the program
  };

  static bool known(const OpRecord& op) {
    return op.kind == "copy" || op.kind == "lowpass" || op.kind == "neurons" || op.kind == "dense";
  }
  void look_at(const std::vector<LoopOp>& ops) {
    uses_.resize(program_.buffers.size());
    good = program_.buffers.size() < INT16_MAX;
    for (const Region& region : program_.regions)
      for (const OpRecord& op : region.ops) {
        std::set<int64_t> touched;
        for (const auto& [name, o] : op.args) touched.insert(o.buffer);
        for (int64_t b : touched) ++uses_[b].ops;
      }
    for (const LoopOp& op : ops) {
      good = good && known(*op.op) && !op.params;
      if (!good) return;
      for (const auto& [name, o] : op.op->args) {
        Use& use = uses_[o.buffer];
        const Access access = find_kind(op.op->kind).find_arg(name)->access;
        use.in_loop = true;
        use.read_old = use.read_old || (access == Access::read && o.shift == 0);
        use.read_new = use.read_new || (access == Access::read && o.shift == 1);
        if (access == Access::read) continue;
        use.written = true;
        use.whole = static_cast<int64_t>(o.offsets.size()) * o.count() == program_.buffers[o.buffer].size;
      }
    }
    for (size_t b = 0; b < uses_.size(); ++b) check(b);
  }
  void check(size_t b) {
    const Use& use = uses_[b];
    const BufferKind kind = program_.buffers[b].kind;
    if (!use.in_loop) return;
    if (kind == BufferKind::learned) good = false;
    if (kind != BufferKind::carried) return;
    if (use.written && !use.whole) good = false;
    if (back_ && !use.written && use.read_old && use.read_new) good = false;
  }
  bool alias(int64_t b) const {  // the old and the new row are one place
    const Use& use = uses_[b];
    return program_.buffers[b].kind == BufferKind::carried && use.written && use.ops == 1;
  }

  int32_t room(int64_t size) {
    const int64_t at = stride, end = (at + size + 3) / 4 * 4;  // four are read at once
    if (end >= 1 << 15) good = false;                          // where TeamOp::magic is exact
    stride = static_cast<int32_t>(good ? end : at);
    return static_cast<int32_t>(at);
  }
  void place_all(const std::vector<LoopOp>& ops) {
    for (size_t b = 0; b < uses_.size(); ++b) {
      const Buffer& buffer = program_.buffers[b];
      if (!uses_[b].in_loop || buffer.kind == BufferKind::param) continue;
      place_[{b, old_row_of}] = place_[{b, new_row_of}] = room(buffer.size);
      if (buffer.kind == BufferKind::carried && !alias(b)) place_[{b, new_row_of}] = room(buffer.size);
    }
    if (!back_) return;
    for (const LoopOp& op : ops) {
      if (op.op->kind != "neurons" || !op.passes) continue;
      values_.insert(op.op->arg("J").buffer);
      for (const std::string& s : spec(*op.op).states) values_.insert(op.op->arg(s).buffer);
    }
    for (int64_t b : values_) place_[{b, value_of}] = room(program_.buffers[b].size);
  }
  static const NeuronSpec& spec(const OpRecord& op) {
    for (const NeuronSpec& s : neuron_specs())
      if (s.name == op.text("type")) return s;
    op.fail("unknown neuron type '" + op.text("type") + "'");
  }

  TeamOp<T> whole(TeamKind kind, int64_t b, Whose whose) const {
    TeamOp<T> op;
    op.kind = kind, op.count = static_cast<int32_t>(program_.buffers[b].size);
    op.x = {place_.at({b, whose}), 1, static_cast<int16_t>(b)};
    op.adjoint = back_ && whose != value_of, op.shift = whose == new_row_of;
    return op;
  }
  void load_once(int64_t b, Whose whose) {
    before.push_back(whole(team_load, b, whose));
    before.back().stage = before.back().x.first;
  }
  void load(int64_t b, Whose whose) {
    steps.push_back(whole(team_load, b, whose));
    steps.back().stage = room(program_.buffers[b].size);
  }
  template <class F>
  void each_buffer(const F& f) {
    for (size_t b = 0; b < uses_.size(); ++b)
      if (uses_[b].in_loop && program_.buffers[b].kind != BufferKind::param) f(b, program_.buffers[b].kind, uses_[b]);
  }
  void add_ahead() {
    each_buffer([&](size_t b, BufferKind kind, const Use& use) {
      if (kind == BufferKind::window) load(b, old_row_of);
      if (kind == BufferKind::state) load_once(b, old_row_of);
      if (kind != BufferKind::carried) return;
      if (alias(b)) return load_once(b, old_row_of), held.push_back(b);
      if (!use.written) {
        if (use.read_old) load(b, old_row_of);
        if (use.read_new) load(b, new_row_of);
      } else {
        load_once(b, back_ ? new_row_of : old_row_of);
        if (back_) load(b, old_row_of), rowed.push_back(b);
      }
    });
    for (int64_t b : values_) load(b, value_of);
  }
  // Adjoints of one step are zero when the next begins, as they are when the first does.
  void clear_locals() {
    each_buffer([&](size_t b, BufferKind kind, const Use&) {
      if (kind == BufferKind::local) steps.push_back(whole(team_clear, b, old_row_of));
    });
  }
  void add_behind() {
    each_buffer([&](size_t b, BufferKind kind, const Use& use) {
      const auto store = [&](std::vector<TeamOp<T>>& to, Whose whose) { to.push_back(whole(team_store, b, whose)); };
      if (kind == BufferKind::state) return store(after, old_row_of);
      if (kind != BufferKind::carried) {
        if (use.written || back_) store(steps, old_row_of);
        return;
      }
      if (alias(b)) return back_ ? store(after, old_row_of) : store(steps, new_row_of);
      if (!use.written) {
        if (back_) store(steps, use.read_old ? old_row_of : new_row_of);
        return;
      }
      store(steps, new_row_of);
      if (back_) store(after, old_row_of);
      TeamOp<T> move = whole(team_move, b, back_ ? new_row_of : old_row_of);  // the next step's
      move.y = {place_.at({b, back_ ? old_row_of : new_row_of}), 1, static_cast<int16_t>(b)};
      steps.push_back(move);
    });
  }

  Strip strip(const Operand& o, bool writes, Whose whose) {
    const Place p(o, tables_);
    const bool old = whose == new_row_of && o.shift == 0;
    const auto found = place_.find({o.buffer, old ? old_row_of : whose});
    const bool fits = found != place_.end() && (writes ? Line::may_write(p) : Line::may_read(p));
    if (!fits || std::abs(p.step) > INT16_MAX || (writes && p.step == 0 && p.count > 1)) return good = false, Strip{};
    return {static_cast<int32_t>(found->second + p.view.first), static_cast<int16_t>(p.step),
            static_cast<int16_t>(o.buffer)};
  }
  static int32_t elements(const Operand& o) { return static_cast<int32_t>(o.count() * int64_t(o.offsets.size())); }

  // What both ways have in common; what is read forward is added to on the way back.
  TeamOp<T> made(const OpRecord& op) {
    TeamOp<T> made;
    made.set = op.set();
    const auto in = [&](const char* name) { return strip(op.arg(name), back_, new_row_of); };
    const auto out = [&](const char* name) { return strip(op.arg(name), !back_, new_row_of); };
    if (op.kind == "copy") {
      if (op.has("src_index") || op.has("dst_index")) good = false;
      made.kind = team_copy, made.x = in("src"), made.y = out("dst"), made.count = elements(op.arg("dst"));
      if (made.count != elements(op.arg("src"))) good = false;
    } else if (op.kind == "lowpass") {
      const std::vector<double> as = op.per_block("a"), bs = op.per_block("b");
      for (size_t k = 1; k < as.size(); ++k) good = good && as[k] == as[0] && bs[k] == bs[0];
      made.kind = team_lowpass, made.x = in("x"), made.a = static_cast<T>(as[0]), made.b = static_cast<T>(bs[0]);
      made.count = elements(op.arg("y"));
      if (op.arg("x").buffer == op.arg("y").buffer || made.count != elements(op.arg("x"))) good = false;
      set_state(made, 0, op.arg("y"));
    } else if (op.kind == "neurons") {
      made.kind = team_neurons, made.x = in("J"), made.y = out("out"), made.count = elements(op.arg("out"));
      add_neurons(made, op);
    } else {
      made.kind = team_dense, made.x = in("X"), made.y = out("Y");
      add_dense(made, op);
    }
    return made;
  }
  void set_state(TeamOp<T>& made, int k, const Operand& o) {
    made.old[k] = strip(o, true, new_row_of), made.now[k] = made.old[k].first;
    if (!good || program_.buffers[o.buffer].kind != BufferKind::carried) return;
    if (o.shift != 1) good = false;
    made.old[k].first += place_.at({o.buffer, old_row_of}) - place_.at({o.buffer, new_row_of});
  }
  void add_neurons(TeamOp<T>& made, const OpRecord& op) {
    const NeuronsOp<T> whole(op, program_, tables_);
    if (whole.draws || whole.model_of || (back_ && (whole.summed || !whole.bumps))) good = false;
    if (!good) return;
    made.type = whole.type, made.models = whole.models, made.bumps = whole.bumps, made.straight = whole.straight;
    const std::vector<std::string>& states = spec(op).states;
    made.states = static_cast<int32_t>(states.size());
    for (int k = 0; k < made.states && good; ++k) {
      set_state(made, k, op.arg(states[k]));
      if (back_) made.value[k] = strip(op.arg(states[k]), true, value_of).first;
    }
    if (back_) made.J = strip(op.arg("J"), true, value_of).first;
    made.model = models++;
  }
  void add_dense(TeamOp<T>& made, const OpRecord& op) {
    const Operand& a = op.arg("A");
    if (op.blocks != 1 || !in_param(a, program_) || a.count() > INT32_MAX) good = false;
    if (op.find_arg("bias") && !back_) made.bias = bias(op.arg("bias"));
    if (!good) return;
    made.m = static_cast<int32_t>(a.shape[0]), made.n = static_cast<int32_t>(a.shape[1]);
    made.count = back_ ? made.n : made.m;
    made.a_first = a.offsets[0], made.a_i = a.strides[0], made.a_j = a.strides[1],
    made.a_buffer = static_cast<int32_t>(a.buffer);
    made.split = made.count >= 32 && a.count() >= 4096;
  }
  // A signal, or one that is made of a parameter.
  Strip bias(const Operand& o) {
    if (!in_param(o, program_)) return strip(o, false, new_row_of);
    const auto count = static_cast<int32_t>(o.count());
    if (o.shape.size() != 1 || (count > 1 && o.strides[0] != 1)) return good = false, Strip{};
    TeamOp<T> load;
    load.kind = team_load, load.count = count, load.a_first = o.offsets[0];
    load.x = {room(count), 1, static_cast<int16_t>(o.buffer)}, load.stage = load.x.first;
    before.push_back(load);
    return load.x;
  }
  // Its adjoint gets that of y, as in a copy.
  void add_back_of_bias(const OpRecord& op) {
    const Operand* const o = op.find_arg("bias");
    if (!o || in_param(*o, program_)) return;
    TeamOp<T> copy;
    copy.kind = team_copy, copy.count = elements(*o);
    copy.x = strip(*o, true, new_row_of), copy.y = strip(op.arg("Y"), false, new_row_of);
    steps.push_back(copy);
  }
  void add(const OpRecord& op) { steps.push_back(made(op)); }
  void add_back(const LoopOp& op) {
    if (op.passes) steps.push_back(made(*op.op)), add_back_of_bias(*op.op);
    for (const auto& [view, elements] : op.cleared) {
      if (elements->empty()) continue;
      TeamOp<T> clear;
      const auto& e = *elements;
      const int64_t step = e.size() > 1 ? e[1] - e[0] : 1;
      for (size_t i = 1; i < e.size(); ++i) good = good && e[i] - e[i - 1] == step;
      const auto found = place_.find({view.buffer, old_row_of});
      if (found == place_.end() || std::abs(step) > INT16_MAX) good = false;
      if (!good) return;
      clear.kind = team_clear, clear.count = static_cast<int32_t>(e.size());
      clear.x = {static_cast<int32_t>(found->second + e[0]), static_cast<int16_t>(step), -1};
      steps.push_back(clear);
    }
  }

  const Program& program_;
  Tables& tables_;
  const bool back_;
  std::vector<Use> uses_;
  std::map<std::pair<int64_t, int>, int32_t> place_;
  std::set<int64_t> values_;
};

}  // namespace cuda
}  // namespace nengo_dl
