# cmake -DCOMPILER= -DFLAGS= -DPRECOMPILED= -DINCLUDE= -DSOURCE= -P refused.cmake
# Succeeds if the compiler refuses SOURCE in one error, saying the words of its first line, and
# names the type of the second, if that is `// names: <type>`.
cmake_minimum_required(VERSION 3.23)

file(READ ${SOURCE} text)
if(NOT text MATCHES "^// refused: ([^\n]+)\n")
    message(FATAL_ERROR "the first line of ${SOURCE} is not `// refused: <words>`")
endif()
set(words "${CMAKE_MATCH_1}")
set(type "")
if(text MATCHES "^[^\n]+\n// names: ([^\n]+)\n")
    set(type "${CMAKE_MATCH_1}")
endif()

execute_process(COMMAND ${COMPILER} ${FLAGS} -fsyntax-only -fmessage-length=0 -I${PRECOMPILED}
                        -I${INCLUDE} ${SOURCE}
                RESULT_VARIABLE status ERROR_VARIABLE errors)
if(status EQUAL 0)
    message(FATAL_ERROR "not refused: ${SOURCE}")
endif()
string(FIND "${errors}" "${words}" found)
if(found EQUAL -1)
    message(FATAL_ERROR "refused in other words than: ${words}\n${SOURCE}\n${errors}")
endif()
# As the assertion has it, in the error or in the note beside it: the source may say it as well.
# Where blanks are is the compiler's taste.
string(REGEX MATCHALL "crosses<[^\n'\"]*" assertions "${errors}")
string(REPLACE " " "" assertions "${assertions}")
string(REPLACE " " "" type "${type}")
string(FIND "${assertions}" "${type}" found)
if(found EQUAL -1)
    message(FATAL_ERROR "refused without naming: ${type}\n${SOURCE}\n${errors}")
endif()
string(REGEX MATCHALL "error: " all "${errors}")
list(LENGTH all count)
if(NOT count EQUAL 1)
    message(FATAL_ERROR "refused with ${count} errors instead of one: ${SOURCE}\n${errors}")
endif()
