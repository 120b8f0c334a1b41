// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/verdict.hpp>

namespace muster::detail {

/// What a static_assert asks, so that compilers name the type when they say what is false.
template <typename T, bool fine>
inline constexpr bool crosses = fine;

/// Stops the compilation with the sentence that fits. The assertion names `Culprit`, the type that
/// is wrong, and the compiler's notes `T`, the type that holds it.
template <typename T, Refusal Why, typename Culprit>
constexpr void explain_refusal(Refused<Why, Culprit>) {
    static_assert(crosses<Culprit, Why != Refusal::reference>,
                  "muster: a reference means nothing in another process: hold the value itself");
    static_assert(
        crosses<Culprit, Why != Refusal::raw_pointer>,
        "muster: a raw pointer means nothing in another process: hold the value itself, a "
        "std::unique_ptr or an index");
    static_assert(crosses<Culprit, Why != Refusal::function>,
                  "muster: a function cannot become bytes: hold the data that chooses it");
    static_assert(crosses<Culprit, Why != Refusal::union_type>,
                  "muster: nobody knows which member of a union is alive: use std::variant");
    static_assert(crosses<Culprit, Why != Refusal::volatile_type>,
                  "muster: a volatile object cannot become bytes: copy its value first");
    static_assert(crosses<Culprit, Why != Refusal::view>,
                  "muster: a view does not own what it shows: use std::string, std::vector or "
                  "another container that does");
    static_assert(crosses<Culprit, Why != Refusal::inherited_container>,
                  "muster: a class that inherits a container may hold more than its elements: give "
                  "it a serialize() member");
    static_assert(crosses<Culprit, Why != Refusal::polymorphic_pointee>,
                  "muster: a pointer to a polymorphic type may point to any derived class: make "
                  "the type final, or use std::variant");
    static_assert(crosses<Culprit, Why != Refusal::array_pointee>,
                  "muster: a smart pointer to an array does not know its length: use std::vector");
    static_assert(crosses<Culprit, Why != Refusal::custom_deleter>,
                  "muster: a pointer with its own deleter owns something that bytes cannot carry: "
                  "send what it takes to make it again");
    static_assert(crosses<Culprit, Why != Refusal::base_class>,
                  "muster: an aggregate with a base class cannot be taken field by field: give it "
                  "a serialize() member, or make the base a field");
    static_assert(crosses<Culprit, Why != Refusal::bit_field>,
                  "muster: an aggregate with bit-fields cannot be taken field by field: give it a "
                  "serialize() member, or use whole integers");
    static_assert(crosses<Culprit, Why != Refusal::too_many_fields>,
                  "muster: an aggregate with more than 64 fields: give it a serialize() member, or "
                  "group its fields");
    static_assert(crosses<Culprit, Why != Refusal::field_not_constructible>,
                  "muster: an aggregate with a field that cannot be made from bytes (a reference, "
                  "or a type without a usable default constructor): give it a serialize() member");
    static_assert(crosses<Culprit, Why != Refusal::no_default_constructor>,
                  "muster: a value is made before it is read: give the type a default constructor, "
                  "private is enough with `friend class muster::Access`");
    static_assert(crosses<Culprit, Why != Refusal::not_movable>,
                  "muster: a type that cannot be moved cannot be returned from its bytes: give it "
                  "a move constructor");
    static_assert(
        crosses<Culprit, Why != Refusal::c_array>,
        "muster: an array cannot be returned: use std::array, std::vector or std::string");
    static_assert(crosses<Culprit, Why != Refusal::unknown>,
                  "muster: nothing says how this type becomes bytes: give it a member `template "
                  "<class Archive> void serialize(Archive& ar) { ar(a, b); }`");
}

template <typename T>
constexpr void explain_refusal(Accepted) {}

/// Compiles if `T` can become bytes and come back. Else there is one error, which says what to do.
template <typename T>
constexpr void require_serializable() {
    explain_refusal<T>(typename VerdictOn<T>::type{});
}

}  // namespace muster::detail
