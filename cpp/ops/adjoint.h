// What gradients of several ops share: where the adjoints of an operand lie, and which of them grad() adds to.
#pragma once

#include "engine/kernel.h"

namespace nengo_dl {

inline bool in_param(const Operand& o, const Program& p) { return p.buffers[o.buffer].kind == BufferKind::param; }

// The adjoints of an operand at step t of item b (add offsets[block]), null if nobody wants them.
template <class T>
NDL_BOTH T* adjoint_at(const GradFrame<T>& f, const View& o, int64_t t, int64_t b) {
  return f.adjoint.base[o.buffer] ? o.at(f.adjoint, t, b) : nullptr;
}

// The two calls of the way back: grad() leaves adjoints in param buffers to grad_params(), which touches no others.
enum class Pass { values, params };

}  // namespace nengo_dl
