using System.Collections.Immutable;
using System.Globalization;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.GatewayApi;

/// <summary><c>timeouts</c> and <c>retry</c> of a rule. Pure but for the findings it adds.</summary>
internal static class TimeoutsReader
{
    private const int MostAttempts = 100;

    /// <summary>Waits grow to ten times this, and data planes refuse durations that are too long for their clocks.</summary>
    private static readonly TimeSpan LongestBackoff = TimeSpan.FromHours(1);

    /// <summary>Bounds of the whole request and of one try.</summary>
    public static (TimeSpan? Request, TimeSpan? BackendRequest) Timeouts(Fields rule)
    {
        if (rule.Object("timeouts") is not { } fields) return (null, null);
        var request = fields.Duration("request");
        var backendRequest = fields.Duration("backendRequest");
        fields.Done();
        if (request is { } whole && backendRequest is { } one && whole > TimeSpan.Zero && one > whole)
            fields.Error("backendRequest", "must not be longer than request, of which it is a part");
        return (request, backendRequest);
    }

    /// <summary>What is tried again beyond the default.</summary>
    public static RetryRule? Retry(Fields rule)
    {
        if (rule.Object("retry") is not { } fields) return null;
        var codes = ImmutableArray.CreateBuilder<int>();
        var items = fields.Scalars("codes", 200);
        for (var i = 0; i < items.Count; i++)
        {
            if (items[i].Plain && int.TryParse(items[i].Text, NumberStyles.None, CultureInfo.InvariantCulture, out var code) && code is >= 400 and <= 599) codes.Add(code);
            else fields.Findings.Error(items[i].Line, $"{fields.PathOf("codes")}[{i}]", $"must be a status code, 400 to 599, is {items[i].Describe()}");
        }

        var retry = new RetryRule([.. codes.Distinct()], fields.Integer("attempts", 0, MostAttempts), fields.Duration("backoff"));
        if (retry.Backoff > LongestBackoff) fields.Error("backoff", $"must be at most 1h, is {fields.Text("backoff")}: it is the least wait before a retry");
        fields.Done();
        return retry;
    }
}
