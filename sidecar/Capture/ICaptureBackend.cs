namespace Mesh.Sidecar.Capture;

/// <summary>A way to put rules into the kernel. Implementations keep no state: what is installed is read from the kernel each time.</summary>
internal interface ICaptureBackend
{
    /// <summary>Its name for the operator.</summary>
    string Name { get; }

    /// <summary>The rules of the mesh that are installed, as the kernel lists them; null when there are none.</summary>
    InstalledRules? Read();

    /// <summary>How the kernel lists the rules of a plan when nobody has changed them: found out with a twin that no packet sees.</summary>
    string Listing(CapturePlan plan);

    /// <summary>Puts the plan in place of what is there, at once and whole.</summary>
    void Apply(CapturePlan plan);

    /// <summary>Removes what is there, nothing else.</summary>
    void Remove();
}

/// <summary>Installed rules.</summary>
/// <param name="Options">What was asked for, kept beside the rules; null when that was removed or damaged.</param>
/// <param name="Listing">The rules as the kernel lists them, without counters.</param>
internal sealed record InstalledRules(CaptureOptions? Options, string Listing);
