using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using Mesh.Api.Identity;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.Policies;

/// <summary>Formats that policies share: selectors, patterns, identities, address blocks. Checks return what is wrong, or null. Pure.</summary>
internal static partial class PolicyFormats
{
    private const int MostValues = 512;
    private const int MostLabels = 64;
    private const int LongestValue = 4096;

    /// <summary>Reads <c>selector.matchLabels</c>; empty when there is none.</summary>
    public static ImmutableSortedDictionary<string, string> Selector(Fields spec)
    {
        var none = ImmutableSortedDictionary<string, string>.Empty;
        if (spec.Object("selector") is not { } selector) return none;
        var labels = selector.Map("matchLabels") ?? none;
        selector.NotYet("matchExpressions", "expressions over labels are");
        selector.Done();
        if (labels.Count > MostLabels) selector.Error("matchLabels", $"has {labels.Count} labels, more than the {MostLabels} allowed");
        foreach (var (key, value) in labels)
        {
            if (key.Contains('*', StringComparison.Ordinal) || value.Contains('*', StringComparison.Ordinal))
                selector.Error("matchLabels", $"{key}: wildcards are not supported in selectors");
            else if (key.Length == 0) selector.Error("matchLabels", "has a label without name");
        }

        return labels;
    }

    /// <summary>Reads a list and its <c>not</c> list. A list that is there must not be empty: it would mean the opposite of what it looks like.</summary>
    /// <param name="fields">The mapping.</param>
    /// <param name="any">Name of the list.</param>
    /// <param name="not">Name of its <c>not</c> list.</param>
    /// <param name="problem">What is wrong with an entry, or null.</param>
    /// <param name="form">The form it is kept in; null for as it is written.</param>
    public static Values Values(Fields fields, string any, string not, Func<string, string?> problem, Func<string, string>? form = null)
    {
        if (!fields.Has(any) && !fields.Has(not)) return Model.Policies.Values.None;
        form ??= text => text;
        return new Values([.. List(fields, any, problem).Select(form)], [.. List(fields, not, problem).Select(form)]);
    }

    /// <summary>A SPIFFE ID, or <c>NAMESPACE/ACCOUNT</c>.</summary>
    public static string? IdentityProblem(string text)
    {
        if (text.StartsWith(IdentityName.Scheme, StringComparison.Ordinal)) return WorkloadIdProblem(text);
        return text.Split('/') is [var ns, var account] && IsSegment(ns) && IsSegment(account)
            ? null
            : $"must be NAMESPACE/ACCOUNT or spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, is \"{text}\"";
    }

    /// <summary><c>TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT</c>, with or without <c>spiffe://</c>, with a <c>*</c> at one end.</summary>
    public static string? PrincipalProblem(string text)
    {
        if (PatternProblem(text) is { } problem) return problem;
        if (text.Contains('*', StringComparison.Ordinal))
        {
            // A colon stands in the scheme alone, so a pattern with one elsewhere would never match.
            var rest = text.StartsWith(IdentityName.Scheme, StringComparison.Ordinal) ? text[IdentityName.Scheme.Length..] : text;
            return PatternForm().IsMatch(text) && (rest[0] == '*' || !rest.Contains(':', StringComparison.Ordinal)) ? null : $"has characters no SPIFFE ID has: \"{text}\"";
        }

        if (text.StartsWith(IdentityName.Scheme, StringComparison.Ordinal)) return WorkloadIdProblem(text);
        return WorkloadIdProblem(IdentityName.Scheme + text) is null ? null : $"must be TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, or end or begin with *, is \"{text}\"";
    }

    /// <summary>A namespace, with a <c>*</c> at one end.</summary>
    public static string? NamespaceProblem(string text)
    {
        if (PatternProblem(text) is { } problem) return problem;
        var label = text.Trim('*');
        return (label.Length == 0 && text == "*") || (label.Length is > 0 and <= 63 && label.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '-'))
            ? null
            : $"must be a namespace (a-z, 0-9 and -), or one with * at one end, is \"{text}\"";
    }

    /// <summary><c>NAMESPACE/ACCOUNT</c>, or an account of the policy's namespace. No wildcards, as in Istio.</summary>
    public static string? AccountProblem(string text) =>
        text.Split('/') is [var one] && IsSegment(one) || text.Split('/') is [var ns, var account] && IsSegment(ns) && IsSegment(account)
            ? null
            : $"must be NAMESPACE/ACCOUNT, or ACCOUNT in the policy's namespace, without *, is \"{text}\"";

    /// <summary>An address or a CIDR block without bits behind its length.</summary>
    public static string? IpBlockProblem(string text)
    {
        var (address, length) = text.Split('/') is [var block, var bits] ? (block, bits) : (text, null);
        if (!Formats.IsAddress(address) || !IPAddress.TryParse(address, out var parsed) || address.Contains('%', StringComparison.Ordinal))
            return $"must be an IP address or block such as 10.0.0.0/8, is \"{text}\"";
        if (parsed.IsIPv4MappedToIPv6) return $"\"{text}\" is IPv4 written as IPv6, and connections are compared by their IPv4 address: write {parsed.MapToIPv4()} (with its own length)";
        var most = parsed.GetAddressBytes().Length * 8;
        if (length is null) return null;
        if (!int.TryParse(length, NumberStyles.None, CultureInfo.InvariantCulture, out var prefix) || prefix > most || length != prefix.ToString(CultureInfo.InvariantCulture))
            return $"must have a length of 0 to {most} after /, is \"{text}\"";
        return IPNetwork.TryParse(text, out var network) && network.BaseAddress.Equals(parsed) ? null : $"\"{text}\" has bits behind its length of {prefix}: write the block's first address";
    }

    /// <summary>A host, with a <c>*</c> at one end.</summary>
    public static string? HostProblem(string text)
    {
        if (PatternProblem(text) is { } problem) return problem;
        // Requests are compared without the dot behind an absolute name, so a rule that has it would never match.
        var name = text.LastIndexOf(':') is > 0 and var colon && !text.EndsWith(']') ? text[..colon] : text;
        if (name[^1] == '.') return $"must be written without the dot behind it, which says nothing, is \"{text}\"";
        return HostForm().IsMatch(text) && text[^1] != ':' ? null : $"must be a host name, with or without port, is \"{text}\"";
    }

    /// <summary>A port number, in the one form it is compared in.</summary>
    public static string? PortProblem(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is >= 1 and <= 65535 && text[0] != '0'
            ? null
            : $"must be a port of the application, 1 to 65535, is \"{text}\"";

    /// <summary>A method, with a <c>*</c> at one end.</summary>
    public static string? MethodProblem(string text)
    {
        if (PatternProblem(text) is { } problem) return problem;
        if (!MethodForm().IsMatch(text)) return $"must be an HTTP method, is \"{text}\"";
        return text == text.ToUpperInvariant() ? null : $"methods are case-sensitive: \"{text}\" matches no usual one, write {text.ToUpperInvariant()}";
    }

    /// <summary>A path, with a <c>*</c> at one end or with segment templates.</summary>
    public static string? PathProblem(string text) =>
        (text.Contains('{', StringComparison.Ordinal) ? null : PatternProblem(text)) ?? PathFormat.Problem(text);

    /// <summary>Any text without control characters, with a <c>*</c> at one end.</summary>
    public static string? TextProblem(string text) =>
        PatternProblem(text) ?? (text.Any(char.IsControl) ? "has control characters" : null);

    private static ImmutableArray<string> List(Fields fields, string name, Func<string, string?> problem)
    {
        if (fields.Value(name) is SequenceNode { Items.Count: 0 }) fields.Error(name, "is empty: remove it, or list what is meant");
        var values = ImmutableArray.CreateBuilder<string>();
        var items = fields.Scalars(name, MostValues);
        for (var i = 0; i < items.Count; i++)
        {
            var (text, path) = (items[i].Text, $"{fields.PathOf(name)}[{i}]");
            if (text.Length is 0 or > LongestValue) fields.Findings.Error(items[i].Line, path, $"must have 1 to {LongestValue} characters, has {text.Length}");
            else if (problem(text) is { } wrong) fields.Findings.Error(items[i].Line, path, wrong);
            values.Add(text);
        }

        return values.ToImmutable();
    }

    // abc, abc*, *abc and *: a star elsewhere would be taken for a letter, which nobody means.
    private static string? PatternProblem(string text)
    {
        var stars = text.Count(c => c == '*');
        if (stars == 0 || text == "*" || (stars == 1 && (text[0] == '*' || text[^1] == '*'))) return null;
        return $"takes one * at its beginning or at its end, is \"{text}\"";
    }

    private static string? WorkloadIdProblem(string text)
    {
        if (SpiffeId.TryParse(text, out var id, out var problem) && id.Account is not null) return null;
        return $"\"{text}\" is not a SPIFFE ID of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT" + (problem is null ? "" : ": " + problem);
    }

    private static bool IsSegment(string text) =>
        text.Length is > 0 and <= 253 && text is not ("." or "..") && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_');

    [GeneratedRegex("^[a-zA-Z0-9._/:*-]+$", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex PatternForm();

    [GeneratedRegex(@"^[a-zA-Z0-9._:\[\]*-]+$", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex HostForm();

    [GeneratedRegex(@"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex MethodForm();
}
