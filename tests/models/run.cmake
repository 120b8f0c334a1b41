# cmake -DSPIN= -DCC= -DMODEL= -DMUTANT= -DINCLUDE= -P run.cmake, in a directory of its own.
# Without MUTANT: succeeds if the headers still say what the model says of them, and an exhaustive
# search finds no error. With MUTANT: succeeds if the search finds one.
cmake_minimum_required(VERSION 3.23)

function(flatten text result)
    string(REGEX REPLACE "//[^\n]*" "" text "${text}")
    string(REGEX REPLACE "[ \t\n]+" "" text "${text}")
    set(${result} "${text}" PARENT_SCOPE)
endfunction()

# Between /*= and */ a model quotes the code, which may stand in any of the headers of its second line.
function(compare_with_headers)
    file(READ ${MODEL} model)
    # Brackets and semicolons mean something in lists.
    string(REPLACE ";" "<semicolon>" model "${model}")
    string(REPLACE "[" "<open>" model "${model}")
    string(REPLACE "]" "<close>" model "${model}")
    string(REGEX MATCH "\n// headers: ([^\n]*)" line "${model}")
    string(REPLACE " " ";" headers "${CMAKE_MATCH_1}")
    set(code "")
    foreach(header IN LISTS headers)
        file(READ ${INCLUDE}/muster/${header} text)
        string(REPLACE ";" "<semicolon>" text "${text}")
        string(REPLACE "[" "<open>" text "${text}")
        string(REPLACE "]" "<close>" text "${text}")
        string(APPEND code "\n${text}")
    endforeach()
    flatten("${code}" code)
    string(REGEX MATCHALL "/[*]=[^\n]*[*]/" quotes "${model}")
    if(NOT quotes)
        message(FATAL_ERROR "${MODEL} quotes nothing")
    endif()
    foreach(quote IN LISTS quotes)
        string(REGEX REPLACE "^/[*]= *(.*[^ ]) *[*]/$" "\\1" quote "${quote}")
        flatten("${quote}" flat)
        string(FIND "${code}" "${flat}" found)
        if(found EQUAL -1)
            string(REPLACE "<semicolon>" ";" quote "${quote}")
            message(SEND_ERROR "no longer in the headers: look whether the model still holds:\n"
                               "${quote}")
            continue()
        endif()
        # Else one of the two could change unnoticed.
        string(FIND "${code}" "${flat}" last REVERSE)
        if(NOT found EQUAL last)
            string(REPLACE "<semicolon>" ";" quote "${quote}")
            message(SEND_ERROR "more than once in the headers: quote more of it:\n${quote}")
        endif()
    endforeach()
endfunction()

set(definition "")
if(MUTANT)
    set(definition -DMUTANT_${MUTANT})
    file(READ ${MODEL} model)
    if(NOT model MATCHES "MUTANT_${MUTANT}[^A-Z_]")
        message(FATAL_ERROR "${MODEL} has no mutant ${MUTANT}")
    endif()
else()
    compare_with_headers()
endif()

execute_process(COMMAND ${SPIN} "-P${CC} -E -x c" ${definition} -a ${MODEL}
                OUTPUT_VARIABLE output ERROR_VARIABLE output
                RESULT_VARIABLE status)
if(NOT status EQUAL 0 OR output MATCHES "rror")
    message(FATAL_ERROR "spin: ${output}")
endif()
# SAFETY: what is to be live ends, or is found asleep by a Monitor or as a deadlock.
# Most mutants are caught sooner than an optimiser is done.
set(optimised -O2)
if(MUTANT)
    set(optimised -O0)
endif()
execute_process(COMMAND ${CC} ${optimised} -w -DSAFETY -DMEMLIM=2000 -o pan pan.c
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ./pan -m1000000 OUTPUT_VARIABLE output ERROR_VARIABLE output)
message("${output}")

if(NOT output MATCHES "errors: ([0-9]+)")
    message(FATAL_ERROR "the search did not end")
endif()
set(errors ${CMAKE_MATCH_1})
if(MUTANT)
    # What ends a search early is no error found.
    if(errors EQUAL 0 OR NOT output MATCHES "assertion violated|invalid end state")
        message(FATAL_ERROR "the mutant was not caught")
    endif()
elseif(NOT errors EQUAL 0)
    message(FATAL_ERROR "the model has an error; `spin -t` shows the way to it")
elseif(output MATCHES "Search not completed|too small|out of memory|reached -DMEMLIM")
    message(FATAL_ERROR "the search was not exhaustive")
endif()
