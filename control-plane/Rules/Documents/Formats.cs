using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Rules.Documents;

/// <summary>Formats that several kinds share: names, durations, expressions, addresses. Each check reports through <see cref="Fields"/>.</summary>
internal static partial class Formats
{
    /// <summary>Longest regular expression taken.</summary>
    private const int LongestExpression = 1024;

    /// <summary>A DNS label, as namespaces and services have; null when it is not there or wrong.</summary>
    public static string? Label(this Fields fields, string name)
    {
        if (fields.Text(name) is not { } text) return null;
        if (ServiceName.IsValid(text) && !text.Contains('_', StringComparison.Ordinal)) return text;
        fields.Error(name, $"must be a DNS label (a-z, 0-9 and -, at most 63 characters), is \"{text}\"");
        return null;
    }

    /// <summary>A DNS subdomain, as most names are; null when it is not there or wrong.</summary>
    public static string? Subdomain(this Fields fields, string name)
    {
        if (fields.Text(name) is not { } text) return null;
        if (text.Length is > 0 and <= 253 && text.Split('.').All(part => ServiceName.IsValid(part) && !part.Contains('_', StringComparison.Ordinal))) return text;
        fields.Error(name, $"must be a DNS name (a-z, 0-9, - and ., at most 253 characters), is \"{text}\"");
        return null;
    }

    /// <summary>A host outside of the mesh, in lower case; null when it is not there or wrong.</summary>
    public static string? ExternalHost(this Fields fields, string name)
    {
        if (fields.Text(name) is not { } text) return null;
        if (ExternalHostProblem(text) is not { } problem) return text.ToLowerInvariant();
        fields.Error(name, problem);
        return null;
    }

    /// <summary>What is wrong with a host outside of the mesh, or null.</summary>
    public static string? ExternalHostProblem(string text)
    {
        if (text.StartsWith("*.", StringComparison.Ordinal)) return $"\"{text}\" stands for many hosts, which is not supported yet: name each";
        if (IPAddress.TryParse(text, out _)) return $"must be a host, is the address {text}: write a ServiceEntry with endpoints";
        if (!ServiceName.IsValidHost(text.ToLowerInvariant())) return $"must be a full host name such as payments.example.com, is \"{text}\"";
        return text.EndsWith("." + ServiceName.ClusterDomain, StringComparison.OrdinalIgnoreCase) || text.EndsWith(".consul", StringComparison.OrdinalIgnoreCase) || text.EndsWith(".svc", StringComparison.OrdinalIgnoreCase)
            ? $"{text} is a name of the mesh's own services: call that service, or name it in an HTTPRoute" : null;
    }

    /// <summary>A Gateway API duration (GEP-2257): one to four parts of number and unit; null when it is not there or wrong.</summary>
    public static TimeSpan? Duration(this Fields fields, string name)
    {
        if (fields.Value(name) is not ScalarNode scalar)
        {
            _ = fields.Text(name);
            return null;
        }

        var match = DurationForm().Match(scalar.Text);
        if (!match.Success)
        {
            fields.Error(name, $"must be a duration such as 500ms, 10s or 1h30m, is {scalar.Describe()}");
            return null;
        }

        var total = TimeSpan.Zero;
        for (var i = 0; i < match.Groups["count"].Captures.Count; i++)
        {
            var count = int.Parse(match.Groups["count"].Captures[i].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture);
            total += match.Groups["unit"].Captures[i].Value switch
            {
                "h" => TimeSpan.FromHours(count),
                "m" => TimeSpan.FromMinutes(count),
                "s" => TimeSpan.FromSeconds(count),
                _ => TimeSpan.FromMilliseconds(count),
            };
        }

        return total;
    }

    /// <summary>Checks an expression: it must run in linear time, here and in Envoy's RE2.</summary>
    public static void Expression(this Fields fields, string name, string expression)
    {
        if (expression.Length > LongestExpression)
        {
            fields.Error(name, $"the regular expression has {expression.Length} characters, more than the {LongestExpression} allowed");
            return;
        }

        if (Foreign().Match(expression) is { Success: true } foreign)
        {
            fields.Error(name, $"the regular expression uses {foreign.Value}, which data planes read differently: write it without");
            return;
        }

        try
        {
            _ = new Regex(expression, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
        }
        catch (NotSupportedException)
        {
            fields.Error(name, $"the regular expression \"{expression}\" needs look-around, back-references, atomic groups or too many repetitions, and cannot run in linear time: write it without");
        }
        catch (ArgumentException e)
        {
            fields.Error(name, $"is not a regular expression: {e.Message}");
        }
    }

    /// <summary>True for an IP address in its usual form.</summary>
    public static bool IsAddress(string text) => IPAddress.TryParse(text, out var address) && (text.Contains(':', StringComparison.Ordinal) || address.ToString() == text);

    [GeneratedRegex("^(?:(?<count>[0-9]{1,5})(?<unit>h|ms|m|s)){1,4}$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex DurationForm();

    // POSIX classes, RE2's named groups and quoting: valid in one engine and something else, or nothing, in the other.
    [GeneratedRegex(@"\[\[:|\(\?P|\\Q|\\C|\\k|\(\?[#xn]", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Foreign();
}
