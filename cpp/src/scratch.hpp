// Memory that lives as long as a call.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace fusedloss {
namespace runtime {

// Aligned to 64 bytes and freed however the work ends.
class scratch {
  public:
    explicit scratch(std::size_t bytes) {
        if (bytes && posix_memalign(&memory_, 64, bytes) != 0) throw std::bad_alloc();
    }
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;
    ~scratch() { std::free(memory_); }
    char* data() const { return static_cast<char*>(memory_); }

  private:
    void* memory_ = nullptr;
};

}  // namespace runtime
}  // namespace fusedloss
