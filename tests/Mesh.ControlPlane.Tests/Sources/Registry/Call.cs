namespace Mesh.ControlPlane.Tests.Sources.Registry;

/// <summary>
/// One call of the differential test. <c>{name}</c> in path and body stands for what a former call kept: <see cref="Keep"/> names it and a path into
/// the answer ("0.ModifyIndex"), or "header" for X-Consul-Index.
/// </summary>
internal sealed record Call(string Method, string Path, string? Body = null)
{
    public (string Name, string From)? Keep { get; init; }

    /// <summary>The words of the answer are ours and differ from Consul's on purpose or by nature; the status is compared all the same.</summary>
    public bool OwnWords { get; init; }

    /// <summary>Repeat the call until the answer contains this.</summary>
    public string? Until { get; init; }

    /// <summary>A change to make once this (blocking) call waits.</summary>
    public Call? Meanwhile { get; init; }

    /// <summary>The call must take at least this long: nothing that it waits for happens.</summary>
    public TimeSpan AtLeast { get; init; }

    public override string ToString() => $"{Method} {Path} {Body}";
}
