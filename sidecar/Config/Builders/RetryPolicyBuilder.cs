using System.Collections.Immutable;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>RetryPolicy: xDS to a compiled value. Pure.</summary>
internal static class RetryPolicyBuilder
{
    private static readonly ImmutableDictionary<string, RetryOn> Conditions = new Dictionary<string, RetryOn>
    {
        ["connect-failure"] = RetryOn.ConnectFailure,
        ["refused-stream"] = RetryOn.RefusedStream,
        ["reset-before-request"] = RetryOn.ResetBeforeRequest,
        ["reset"] = RetryOn.Reset,
        ["retriable-status-codes"] = RetryOn.StatusCodes,
        ["5xx"] = RetryOn.ServerErrors,
        ["gateway-error"] = RetryOn.GatewayErrors,

        // Known to Envoy and not done here: to retry less than asked is safe, so these words do not refuse a configuration.
        ["retriable-4xx"] = RetryOn.None,
        ["retriable-headers"] = RetryOn.None,
        ["envoy-ratelimited"] = RetryOn.None,
        ["http3-post-connect-failure"] = RetryOn.None,
        ["cancelled"] = RetryOn.None,
        ["deadline-exceeded"] = RetryOn.None,
        ["internal"] = RetryOn.None,
        ["resource-exhausted"] = RetryOn.None,
        ["unavailable"] = RetryOn.None,
    }.ToImmutableDictionary();

    /// <summary>Builds a retry policy; null is never.</summary>
    public static RetryPolicy Build(Envoy.Config.Route.V3.RetryPolicy? proto, Field field)
    {
        if (proto is null) return RetryPolicy.None;
        field.Unsupported(proto.RetriableHeaders.Count > 0, "retriable_headers");
        field.Unsupported(proto.PerTryIdleTimeout is not null, "per_try_idle_timeout");
        for (var i = 0; i < proto.RetryHostPredicate.Count; i++)
        {
            // Another endpoint is what a retry takes here anyway.
            field.At("retry_host_predicate", i).Unsupported(proto.RetryHostPredicate[i].Name != "envoy.retry_host_predicates.previous_hosts", "name");
        }

        var (first, most) = Backoff(proto.RetryBackOff, field);
        return new RetryPolicy
        {
            On = Words(proto.RetryOn, field.At("retry_on")),
            MaxRetries = (int)Math.Min(proto.NumRetries ?? 1, 100),
            PerTryTimeout = field.Duration(proto.PerTryTimeout, "per_try_timeout", TimeSpan.Zero),
            StatusCodes = StatusCodes(proto, field),
            BackoffBase = first,
            BackoffMax = most,
        };
    }

    private static RetryOn Words(string text, Field field)
    {
        var on = RetryOn.None;
        foreach (var word in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (Conditions.TryGetValue(word, out var condition)) on |= condition;
            else field.Error($"\"{word}\" is not a retry condition; known are {string.Join(", ", Conditions.Keys.Order(StringComparer.Ordinal))}");
        }

        return on;
    }

    private static ImmutableArray<int> StatusCodes(Envoy.Config.Route.V3.RetryPolicy proto, Field field)
    {
        for (var i = 0; i < proto.RetriableStatusCodes.Count; i++)
        {
            if (proto.RetriableStatusCodes[i] is < 100 or > 599)
                field.At("retriable_status_codes", i).Error($"{proto.RetriableStatusCodes[i]} is not an HTTP status (100 to 599)");
        }

        return [.. proto.RetriableStatusCodes.Select(c => (int)c).Distinct().Order()];
    }

    private static (TimeSpan First, TimeSpan Most) Backoff(Envoy.Config.Route.V3.RetryPolicy.Types.RetryBackOff? proto, Field field)
    {
        if (proto is null) return (RetryPolicy.None.BackoffBase, RetryPolicy.None.BackoffMax);
        var at = field.At("retry_back_off");
        var first = at.Duration(proto.BaseInterval, "base_interval", TimeSpan.Zero);
        if (first <= TimeSpan.Zero) at.Error("base_interval", "must be more than 0");
        var most = at.Duration(proto.MaxInterval, "max_interval", first * 10);
        if (most < first) at.Error("max_interval", $"{most.TotalMilliseconds} ms is less than base_interval, {first.TotalMilliseconds} ms");
        return (first, most);
    }
}
