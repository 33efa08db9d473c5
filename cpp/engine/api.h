// What the engine library shows to the doors (cpp/python, cpp/tf); everything else is hidden.
#pragma once

#define NDL_API __attribute__((visibility("default")))
