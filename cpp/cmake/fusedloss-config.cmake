# find_package(fusedloss): fusedloss::headers always; fusedloss::fusedloss (compiled, run-time dispatch) where it was
# installed. The compiled library may need OpenMP.
include("${CMAKE_CURRENT_LIST_DIR}/fusedloss-headers.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/fusedloss-library.cmake" OPTIONAL RESULT_VARIABLE fusedloss_library)
if(fusedloss_library)
    include(CMakeFindDependencyMacro)
    find_package(OpenMP COMPONENTS CXX QUIET)
    if(OpenMP_CXX_FOUND)
        target_link_libraries(fusedloss::fusedloss INTERFACE OpenMP::OpenMP_CXX)
    endif()
endif()
