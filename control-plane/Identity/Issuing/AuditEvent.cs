using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mesh.ControlPlane.Identity.Issuing;

/// <summary>A line of the audit log. Immutable.</summary>
/// <param name="At">When.</param>
/// <param name="Event"><c>issued</c>, <c>refused</c>, <c>token</c>, <c>revoked</c>, <c>restored</c> or <c>rotation</c>.</param>
internal sealed record AuditEvent(DateTimeOffset At, string Event)
{
    /// <summary>The SPIFFE ID it is about.</summary>
    public string? Identity { get; init; }

    /// <summary>How the caller proved who it is, or which operator it was.</summary>
    public string? By { get; init; }

    /// <summary>Who holds the certificate, through all renewals.</summary>
    public string? Holder { get; init; }

    /// <summary>Serial number of the certificate, hex.</summary>
    public string? Serial { get; init; }

    /// <summary>From when the certificate is good.</summary>
    public DateTimeOffset? NotBefore { get; init; }

    /// <summary>When the certificate ends.</summary>
    public DateTimeOffset? NotAfter { get; init; }

    /// <summary>Why it was refused: a short word.</summary>
    public string? Reason { get; init; }

    /// <summary>What happened, in words.</summary>
    public string? Text { get; init; }

    /// <summary>Where the caller's connection comes from.</summary>
    public string? Peer { get; init; }
}

/// <summary>How audit events are written.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AuditEvent))]
internal sealed partial class AuditJson : JsonSerializerContext;
