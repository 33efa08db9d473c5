// What the engine library shows to the doors (cpp/python, cpp/tensorflow); everything else is hidden.
#pragma once

#define NDL_API __attribute__((visibility("default")))
