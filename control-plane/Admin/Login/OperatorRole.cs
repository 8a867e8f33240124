namespace Mesh.ControlPlane.Admin.Login;

/// <summary>What an operator may do.</summary>
internal enum OperatorRole
{
    /// <summary>Look.</summary>
    View,

    /// <summary>Look and change.</summary>
    Admin,
}

/// <summary>An operator who logged in: a feature of the HTTP request. Immutable.</summary>
/// <param name="Name">Who, for the audit log: <c>admin token</c>, or an identity.</param>
/// <param name="Role">What he may do.</param>
internal sealed record Operator(string Name, OperatorRole Role);
