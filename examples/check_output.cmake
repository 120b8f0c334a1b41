# cmake -DSOURCE= -DPROGRAM= -P check_output.cmake
# Succeeds if PROGRAM prints what the comment at SOURCE's end says, from the line `// Output:` on.
cmake_minimum_required(VERSION 3.23)

file(READ ${SOURCE} expected)
string(REGEX REPLACE "^.*\n// Output:\n" "\n" expected "${expected}")
string(REGEX REPLACE "\n// ?" "\n" expected "${expected}")
string(STRIP "${expected}" expected)

execute_process(COMMAND ${PROGRAM} RESULT_VARIABLE status OUTPUT_VARIABLE printed)
string(STRIP "${printed}" printed)

if(NOT status EQUAL 0)
    message(FATAL_ERROR "${PROGRAM} ended with ${status}, after printing:\n${printed}")
endif()
if(NOT printed STREQUAL expected)
    message(FATAL_ERROR "${PROGRAM} printed:\n${printed}\n\nexpected:\n${expected}")
endif()
