/// One header field: where its name and its value, without the white space around it, lie in the head.
package struct HeaderField: Sendable {
    package let name: Range<Int>
    package let value: Range<Int>
    package let known: KnownField
}
