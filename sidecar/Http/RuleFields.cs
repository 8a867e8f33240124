using Mesh.Api.Rbac;

namespace Mesh.Sidecar.Http;

/// <summary>The header fields of a request as rules see them: those the application will get, ours included. One per exchange.</summary>
internal sealed class RuleFields(Exchange exchange) : IRbacFields
{
    /// <inheritdoc/>
    public string? Find(string name, out bool several)
    {
        several = false;
        if (OfFacts(name) is { } known) return known;
        string? first = null;
        var fields = exchange.Headers;
        for (var i = 0; i < fields.Count; i++)
        {
            ref readonly var field = ref fields[i];
            if (!field.Name.Equals(name, StringComparison.OrdinalIgnoreCase)) continue;
            several = first is not null;
            first ??= field.Value;
            if (several) break;
        }

        return first;
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> All(string name)
    {
        var all = new List<string>();
        for (var i = 0; i < exchange.Headers.Count; i++)
        {
            if (exchange.Headers[i].Name.Equals(name, StringComparison.OrdinalIgnoreCase)) all.Add(exchange.Headers[i].Value);
        }

        return all;
    }

    /// <summary>Fields that are kept apart until the request is sent.</summary>
    private string? OfFacts(string name) => name.Length switch
    {
        12 when exchange.Facts.RequestId.Length > 0 && name.Equals("x-request-id", StringComparison.OrdinalIgnoreCase) => exchange.Facts.RequestId,
        17 when !exchange.HasForwardedProto && name.Equals(FieldRules.ForwardedProto, StringComparison.OrdinalIgnoreCase) => FieldRules.UsualProto,
        11 when exchange.Facts.TraceParent.Length > 0 && name.Equals("traceparent", StringComparison.OrdinalIgnoreCase) => exchange.Facts.TraceParent,
        _ => null,
    };
}
