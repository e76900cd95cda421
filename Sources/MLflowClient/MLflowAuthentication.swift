/// How the server knows us. Its description never shows the secret.
package enum MLflowAuthentication: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    case none
    case basic(user: String, password: String)
    case bearer(token: String)

    package var description: String {
        switch self {
        case .none: "none"
        case .basic(let user, _): "basic(\(user))"
        case .bearer: "bearer"
        }
    }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["kind": description]) }
}
