// The neuron types that the engine knows, in their order in Python: Nengo's, then those of nengo_dl.neurons.
#pragma once

#include "neurons/adaptive.h"
#include "neurons/cuba_lif.h"
#include "neurons/cuba_lif_rate.h"
#include "neurons/izhikevich.h"
#include "neurons/leaky_relu.h"
#include "neurons/lif.h"
#include "neurons/lif_rate.h"
#include "neurons/random_spiking.h"
#include "neurons/rectified_linear.h"
#include "neurons/regular_spiking.h"
#include "neurons/sigmoid.h"
#include "neurons/soft_lif_rate.h"
#include "neurons/spiking_leaky_relu.h"
#include "neurons/spiking_rectified_linear.h"
#include "neurons/tanh.h"

#define NDL_NEURON_TYPES(X) \
  X(RectifiedLinear)        \
  X(SpikingRectifiedLinear) \
  X(Sigmoid)                \
  X(Tanh)                   \
  X(LIFRate)                \
  X(LIF)                    \
  X(AdaptiveLIFRate)        \
  X(AdaptiveLIF)            \
  X(Izhikevich)             \
  X(RegularSpiking)         \
  X(StochasticSpiking)      \
  X(PoissonSpiking)         \
  X(LeakyReLU)              \
  X(SoftLIFRate)            \
  X(SpikingLeakyReLU)       \
  X(CubaLIFRate)            \
  X(CubaLIF)
