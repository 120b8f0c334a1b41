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
    message("${printed}")
    message(FATAL_ERROR "${PROGRAM} ended with ${status}, after printing the above")
endif()
if(NOT printed STREQUAL expected)
    message("printed:\n${printed}\n\nexpected:\n${expected}\n")
    message(FATAL_ERROR "${PROGRAM} does not print what its source says")
endif()
