# muster as a user meets it: installed and found, and as a subdirectory.
set(prefix ${CMAKE_CURRENT_BINARY_DIR}/consume/installed)

add_test(NAME consume.install COMMAND ${CMAKE_COMMAND} --install ${PROJECT_BINARY_DIR}
         --prefix ${prefix} --component muster_Development)
set_tests_properties(consume.install PROPERTIES FIXTURES_SETUP installed_muster TIMEOUT 300)

function(add_consume_test name)
    add_test(NAME consume.${name} COMMAND ${CMAKE_CTEST_COMMAND}
             --build-and-test ${CMAKE_CURRENT_SOURCE_DIR}/consume ${CMAKE_CURRENT_BINARY_DIR}/consume/${name}
             --build-generator ${CMAKE_GENERATOR}
             --build-options -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} ${ARGN}
             --test-command consume)
    set_tests_properties(consume.${name} PROPERTIES TIMEOUT 900)
endfunction()

add_consume_test(find_package -DCMAKE_PREFIX_PATH=${prefix})
set_tests_properties(consume.find_package PROPERTIES FIXTURES_REQUIRED installed_muster)
add_consume_test(add_subdirectory -DMUSTER_SOURCE=${PROJECT_SOURCE_DIR})
