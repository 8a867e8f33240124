using System.Collections.Immutable;
using System.Text.RegularExpressions;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;
using ValueMatch = Mesh.ControlPlane.Model.ValueMatch;

namespace Mesh.ControlPlane.Rules.GatewayApi;

/// <summary>The matches of an HTTPRoute's rules. Pure but for the findings it adds.</summary>
internal static partial class HttpRouteMatchReader
{
    private const int MostMatchers = 16;
    private const int LongestPath = 1024;
    private const int LongestName = 256;
    private const int LongestValue = 4096;
    private static readonly string[] Forbidden = ["//", "/./", "/../", "%2f", "%2F", "#"];

    /// <summary>Reads one match.</summary>
    public static HttpRouteMatch Read(Fields item)
    {
        var (kind, path) = ReadPath(item);
        var match = new HttpRouteMatch
        {
            PathKind = kind,
            Path = path,
            Headers = ReadValues(item, "headers", ignoreCase: true),
            QueryParams = ReadValues(item, "queryParams", ignoreCase: false),
            Method = item.Word("method", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"),
        };
        item.Done();
        return match;
    }

    private static (MatchKind Kind, string Path) ReadPath(Fields item)
    {
        if (item.Object("path") is not { } path) return (MatchKind.PathPrefix, "/");
        var kind = path.Word("type", "Exact", "PathPrefix", "RegularExpression") switch
        {
            "Exact" => MatchKind.Exact,
            "RegularExpression" => MatchKind.RegularExpression,
            _ => MatchKind.PathPrefix,
        };
        var value = path.Text("value") ?? "/";
        path.Done();
        if (value.Length > LongestPath) path.Error("value", $"has {value.Length} characters, more than the {LongestPath} allowed");
        else if (kind == MatchKind.RegularExpression) path.Expression("value", value);
        else CheckPath(path, value);
        return (kind, value);
    }

    private static void CheckPath(Fields path, string value)
    {
        if (!value.StartsWith('/')) path.Error("value", $"must begin with /, is \"{value}\"");
        else if (Array.Find(Forbidden, part => value.Contains(part, StringComparison.Ordinal)) is { } part)
            path.Error("value", $"must not contain {part}, is \"{value}\"");
        else if (value.EndsWith("/..", StringComparison.Ordinal) || value.EndsWith("/.", StringComparison.Ordinal))
            path.Error("value", $"must not end with /. or /.., is \"{value}\"");
        else if (!PathForm().IsMatch(value))
            path.Error("value", $"must be a URL path without query, special characters as %XX, is \"{value}\"");
    }

    private static ImmutableArray<ValueMatch> ReadValues(Fields item, string list, bool ignoreCase)
    {
        var values = ImmutableArray.CreateBuilder<ValueMatch>();
        foreach (var entry in item.Objects(list, MostMatchers))
        {
            entry.Require("name", "it says what to look at");
            entry.Require("value", "it says what to look for");
            var expression = entry.Word("type", "Exact", "RegularExpression") == "RegularExpression";
            var name = entry.Text("name") ?? "";
            var value = entry.Text("value") ?? "";
            entry.Done();
            if (ignoreCase) name = name.ToLowerInvariant();
            if (entry.Has("name") && (name.Length is 0 or > LongestName || !NameForm().IsMatch(name)))
                entry.Error("name", $"must be an HTTP token of 1 to {LongestName} characters, is \"{name}\"");
            if (values.Any(other => other.Name == name)) entry.Error("name", $"\"{name}\" is matched twice: put both into one regular expression");
            if (value.Length > LongestValue) entry.Error("value", $"has {value.Length} characters, more than the {LongestValue} allowed");
            else if (expression) entry.Expression("value", value);
            values.Add(new ValueMatch(name, expression ? MatchKind.RegularExpression : MatchKind.Exact, value));
        }

        return values.ToImmutable();
    }

    [GeneratedRegex("^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex PathForm();

    [GeneratedRegex(@"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex NameForm();
}
