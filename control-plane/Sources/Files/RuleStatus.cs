using System.Collections.Immutable;
using Mesh.ControlPlane.Rules;

namespace Mesh.ControlPlane.Sources.Files;

/// <summary>How the rule files stand: which set serves, and what is wrong with a newer one. Immutable.</summary>
internal sealed record RuleStatus
{
    /// <summary>The folder.</summary>
    public required string Folder { get; init; }

    /// <summary>Hash of the set that serves; empty while there was no good one yet.</summary>
    public string Version { get; init; } = "";

    /// <summary>Since when it serves.</summary>
    public DateTimeOffset? ServingSince { get; init; }

    /// <summary>Files in it.</summary>
    public int Files { get; init; }

    /// <summary>Documents in it, by kind.</summary>
    public ImmutableSortedDictionary<string, int> Documents { get; init; } = ImmutableSortedDictionary<string, int>.Empty;

    /// <summary>Errors of the newest set; while there are any, the last good one goes on serving.</summary>
    public ImmutableArray<RuleError> Errors { get; init; } = [];

    /// <summary>Since when the newest set is wrong; null when it is good.</summary>
    public DateTimeOffset? WrongSince { get; init; }

    /// <summary>What the newest good set says that has no effect.</summary>
    public ImmutableArray<RuleError> Warnings { get; init; } = [];
}
