// Frames on the device. Most calls repeat the frame of the one before, which then lies there already.
#include <array>
#include <cstring>

#include "cuda/device.h"

namespace nengo_dl {
namespace cuda {
namespace {

// The arrays of a frame, one behind the other.
class Packed {
 public:
  template <class U>
  void add(const U* const& array, size_t count) {
    if (!array) return;
    const char* const from = reinterpret_cast<const char*>(array);
    places_.push_back({const_cast<char*>(reinterpret_cast<const char*>(&array)), bytes_.size()});
    bytes_.insert(bytes_.end(), from, from + count * sizeof(U));
    bytes_.resize((bytes_.size() + 15) / 16 * 16);
  }
  const std::vector<char>& bytes() const { return bytes_; }
  void point_to(const char* memory) const {  // the pointers of the frame whose arrays were added
    for (const auto& [pointer, at] : places_) {
      const char* const array = memory + at;
      std::memcpy(pointer, &array, sizeof array);
    }
  }

 private:
  struct Place {
    char* pointer;
    size_t at;
  };
  std::vector<char> bytes_;
  std::vector<Place> places_;
};

template <class T>
void add_arrays(Packed& packed, Frame<T>& f, const FrameSizes& n) {
  packed.add(f.base, n.buffers), packed.add(f.row, n.buffers), packed.add(f.item, n.buffers);
  packed.add(f.inputs, n.inputs), packed.add(f.outputs, n.outputs);
  packed.add(f.input_steps, n.inputs), packed.add(f.output_steps, n.outputs);
}

// Copies are started in order, so a place may be used again while kernels that read it are still to run.
class Ring {
 public:
  const char* find_or_copy(const std::vector<char>& bytes) {
    for (Slot& slot : slots_)
      if (slot.bytes == bytes && !bytes.empty()) return slot.there;
    Slot& slot = slots_[next_];
    next_ = (next_ + 1) % slots_.size();
    const auto size = static_cast<int64_t>(bytes.size());
    slot.bytes.clear();  // nothing, should what follows fail
    slot.there = slot.memory.at_least(size);
    if (size > 0) device_space().copy_in(bytes.data(), slot.there, size);
    slot.bytes = bytes;
    return slot.there;
  }

 private:
  struct Slot {
    std::vector<char> bytes;  // what lies there
    char* there = nullptr;
    Growing<char> memory;
  };
  std::array<Slot, 16> slots_;
  size_t next_ = 0;
};

Ring& ring() {
  static auto* const ring = new Ring;  // never destroyed: runs may go on at the end of main
  return *ring;
}

}  // namespace

template <class T>
Frame<T> on_device(const Frame<T>& frame, const FrameSizes& sizes) {
  const std::lock_guard<std::recursive_mutex> hold(launching());
  Frame<T> f = frame;
  Packed packed;
  add_arrays(packed, f, sizes);
  packed.point_to(ring().find_or_copy(packed.bytes()));
  return f;
}

template <class T>
GradFrame<T> on_device(const GradFrame<T>& frame, const FrameSizes& sizes) {
  const std::lock_guard<std::recursive_mutex> hold(launching());
  GradFrame<T> f = frame;
  Packed packed;
  add_arrays(packed, f.value, sizes), add_arrays(packed, f.adjoint, sizes);
  packed.add(f.input_grads, sizes.inputs), packed.add(f.output_grads, sizes.outputs);
  packed.add(f.unset, sizes.buffers);
  packed.point_to(ring().find_or_copy(packed.bytes()));
  return f;
}

template Frame<float> on_device(const Frame<float>&, const FrameSizes&);
template Frame<double> on_device(const Frame<double>&, const FrameSizes&);
template GradFrame<float> on_device(const GradFrame<float>&, const FrameSizes&);
template GradFrame<double> on_device(const GradFrame<double>&, const FrameSizes&);

}  // namespace cuda
}  // namespace nengo_dl
