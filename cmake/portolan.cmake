# What every target shares: warnings as errors, sanitizers, one way to add a library, a program and a test.

add_library(portolan_warnings INTERFACE)
target_compile_options(portolan_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  -Wnull-dereference -Wdouble-promotion -Wformat=2 -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these inside its own standard library when inlining std::string, std::optional and std::variant.
  target_compile_options(portolan_warnings INTERFACE
    -Wno-null-dereference -Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
endif()

add_library(portolan_flags INTERFACE)
target_include_directories(portolan_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(portolan_flags INTERFACE -fno-omit-frame-pointer)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(portolan_flags INTERFACE -march=x86-64-v2)  # what Debian's DPDK asks of a CPU anyway
endif()
if(PORTOLAN_FUZZ)
  target_compile_options(portolan_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined)
  target_link_options(portolan_flags INTERFACE -fsanitize=address,undefined)
endif()
if(PORTOLAN_SANITIZE)
  target_compile_options(portolan_flags INTERFACE -fsanitize=${PORTOLAN_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(portolan_flags INTERFACE -fsanitize=${PORTOLAN_SANITIZE})
  if(PORTOLAN_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(portolan_flags INTERFACE -Wno-tsan)  # Boost.Asio's fences, which it does not model
  endif()
endif()

# portolan_library(NAME SOURCES file… [LINKS library…]): a static library of this folder.
function(portolan_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC portolan_flags ${ARG_LINKS} PRIVATE portolan_warnings)
endfunction()

# portolan_program(NAME SOURCES file… [LINKS library…]): a program in bin/.
function(portolan_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE portolan_flags portolan_warnings ${ARG_LINKS})
endfunction()

# portolan_test(NAME KIND unit|packet|config|threads SOURCES file… LINKS library…): a GoogleTest program under CTest,
# each TEST its own CTest test, labelled by kind; `threads` are those ThreadSanitizer is for, which the target threads_tests
# builds alone.
function(portolan_test name)
  cmake_parse_arguments(ARG "" "KIND" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE portolan_flags portolan_warnings ${ARG_LINKS} GTest::gtest GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(ARG_KIND STREQUAL threads)
    if(NOT TARGET threads_tests)
      add_custom_target(threads_tests)
    endif()
    add_dependencies(threads_tests ${name})
  endif()
  gtest_discover_tests(${name} TEST_PREFIX ${name}. PROPERTIES LABELS ${ARG_KIND} TIMEOUT 120 DISCOVERY_TIMEOUT 60)
endfunction()
