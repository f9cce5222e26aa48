# THE list of ISA levels, and the only place where -march stands.
# fusedloss_add_isa_levels(<target>): compiles src/kernels*.cpp once per level into <target>.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(fusedloss_levels v1 v3 v4)
    set(fusedloss_march_v1 -march=x86-64)
    set(fusedloss_march_v3 -march=x86-64-v3)
    # GCC otherwise copies 32-byte vectors through memory in 16-byte halves, and the next load stalls.
    include(CheckCXXCompilerFlag)
    check_cxx_compiler_flag("-mmove-max=256 -mstore-max=256" FUSEDLOSS_HAS_MOVE_MAX)
    if(FUSEDLOSS_HAS_MOVE_MAX)
        list(APPEND fusedloss_march_v3 -mmove-max=256 -mstore-max=256)
    endif()
    set(fusedloss_march_v4 -march=x86-64-v4 -mprefer-vector-width=512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(fusedloss_levels neon)
else()
    set(fusedloss_levels generic)
endif()

if(FUSEDLOSS_ISA_LEVELS)
    foreach(level IN LISTS FUSEDLOSS_ISA_LEVELS)
        if(NOT level IN_LIST fusedloss_levels)
            message(FATAL_ERROR "FUSEDLOSS_ISA_LEVELS: unknown level \"${level}\" (known here: ${fusedloss_levels})")
        endif()
    endforeach()
    set(fusedloss_levels ${FUSEDLOSS_ISA_LEVELS})
endif()

function(fusedloss_add_isa_levels target)
    foreach(level IN LISTS fusedloss_levels)
        add_library(fusedloss_kernels_${level} OBJECT src/kernels.cpp src/kernels_overlap.cpp
            src/kernels_similarity.cpp src/kernels_boxes.cpp
            src/kernels_pairs.cpp)
        target_link_libraries(fusedloss_kernels_${level} PRIVATE fusedloss_build_flags)
        target_compile_options(fusedloss_kernels_${level} PRIVATE ${fusedloss_march_${level}} -fno-exceptions -fno-rtti)
        set_target_properties(fusedloss_kernels_${level} PROPERTIES POSITION_INDEPENDENT_CODE ON)
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:fusedloss_kernels_${level}>)
        target_compile_definitions(${target} PRIVATE FUSEDLOSS_HAS_${level})
    endforeach()
endfunction()
