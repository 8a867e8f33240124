using System.Globalization;

namespace Mesh.Cli.Running;

/// <summary>Whose traffic <c>meshctl run --capture</c> captures, and how. Immutable.</summary>
internal sealed record CaptureTerms
{
    /// <summary>Values of the option.</summary>
    public const string Values = "netns|here|uid:UID|cgroup";

    /// <summary>The place.</summary>
    public required CapturePlace Place { get; init; }

    /// <summary>The user the program runs as and whose traffic is captured, for <see cref="CapturePlace.User"/>.</summary>
    public uint User { get; init; }

    /// <summary>True when the program sees its clients' addresses (TPROXY).</summary>
    public bool Transparent { get; init; }

    /// <summary>Options for <c>mesh-sidecar capture install</c> as they are.</summary>
    public IReadOnlyList<string> InstallFlags { get; init; } = [];

    /// <summary>True where others use the same network: their ports and their traffic are left alone.</summary>
    public bool IsShared => Place is CapturePlace.User or CapturePlace.Cgroup;

    /// <summary>The sidecar's word for the mode.</summary>
    public string Mode => Transparent ? "tproxy" : "redirect";

    /// <summary>Reads the option's value; an error in words instead when it is none.</summary>
    public static (CaptureTerms? Terms, string? Error) Parse(string? value) => value switch
    {
        null or "" or "netns" => (new CaptureTerms { Place = CapturePlace.OwnNamespace }, null),
        "here" => (new CaptureTerms { Place = CapturePlace.Here }, null),
        "cgroup" => (new CaptureTerms { Place = CapturePlace.Cgroup }, null),
        _ when value.StartsWith("uid:", StringComparison.Ordinal) && uint.TryParse(value[4..], CultureInfo.InvariantCulture, out var user) => user == CaptureRules.SidecarUser
            ? (null, $"--capture {value}: that is the sidecar's own user, whose traffic is never captured")
            : (new CaptureTerms { Place = CapturePlace.User, User = user }, null),
        _ => (null, $"--capture {value}: expected one of {Values}"),
    };
}

/// <summary>Where traffic is captured.</summary>
internal enum CapturePlace
{
    /// <summary>In a network namespace made for the run.</summary>
    OwnNamespace,

    /// <summary>In the network namespace that meshctl runs in, all of it.</summary>
    Here,

    /// <summary>On this host, what one user sends.</summary>
    User,

    /// <summary>On this host, what the program and those it starts send.</summary>
    Cgroup,
}
