namespace Mesh.ControlPlane.Model.Policies;

/// <summary>SPIFFE IDs as the mesh forms them: one place for the text, so that all compare the same. Pure.</summary>
public static class IdentityName
{
    /// <summary>Scheme of every SPIFFE ID.</summary>
    public const string Scheme = "spiffe://";

    /// <summary><c>spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT</c>.</summary>
    public static string Of(string trustDomain, string ns, string account) => $"{Scheme}{trustDomain}/ns/{ns}/sa/{account}";

    /// <summary>The identity a service has unless somebody says otherwise: the account of its own name in its namespace.</summary>
    public static string Default(string trustDomain, ServiceName service) => Of(trustDomain, service.Namespace, service.Name);

    /// <summary>What all identities of a trust domain begin with.</summary>
    public static string PrefixOf(string trustDomain) => $"{Scheme}{trustDomain}/";

    /// <summary>An identity as rules write it: whole, or <c>NAMESPACE/ACCOUNT</c>, which is one of the mesh's own trust domain.</summary>
    public static string Expand(string written, string trustDomain) =>
        !written.StartsWith(Scheme, StringComparison.Ordinal) && written.Split('/') is [var ns, var account] ? Of(trustDomain, ns, account) : written;

    /// <summary>The namespace of an identity, or null when it is not of the form <c>/ns/x/sa/y</c>.</summary>
    public static string? NamespaceOf(string identity) => Parts(identity) is [_, "ns", var ns, "sa", _] ? ns : null;

    /// <summary>The account of an identity, or null when it is not of the form <c>/ns/x/sa/y</c>.</summary>
    public static string? AccountOf(string identity) => Parts(identity) is [_, "ns", _, "sa", var account] ? account : null;

    private static string[] Parts(string identity) =>
        identity.StartsWith(Scheme, StringComparison.Ordinal) ? identity[Scheme.Length..].Split('/') : [];
}
