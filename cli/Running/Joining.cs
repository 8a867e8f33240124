namespace Mesh.Cli.Running;

/// <summary>
/// How the sidecar of one run reaches the control plane and proves who it is. Its certificate is kept in a folder, so that a sidecar
/// that is started again needs neither a new token nor a control plane that answers. Owned by the run; ends with it.
/// </summary>
internal sealed class Joining : IDisposable
{
    private readonly string? _folder;
    private readonly bool _ownsFolder;

    /// <summary>Without an identity: plaintext xDS.</summary>
    public Joining()
    {
    }

    /// <summary>With an identity that is kept in <paramref name="folder"/>; null: in a private one that is removed at the end.</summary>
    public Joining(string? folder, bool isCaptured = false)
    {
        _ownsFolder = folder is null;
        // In memory where there is such a place; that is closed to the user of a sidecar that captures.
        var runtime = !isCaptured && Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } told && Directory.Exists(told) ? told : Path.GetTempPath();
        _folder = folder ?? Path.Combine(runtime, $"mesh-identity-{Environment.ProcessId}-{Guid.NewGuid():N}");
    }

    /// <summary>Flags for the sidecar.</summary>
    public required IReadOnlyList<string> Flags { get; init; }

    /// <summary>Makes (or hands over) a join token; null where none is needed.</summary>
    public Func<CancellationToken, Task<string>>? Token { get; init; }

    /// <summary>The flags, with the folder of the identity.</summary>
    public IEnumerable<string> AllFlags => _folder is null ? Flags : [.. Flags, "--identity-dir", _folder];

    /// <summary>The token for a start: the first one must have it; a later one does with the certificate that was kept when it cannot.</summary>
    public async Task<string?> TokenAsync(bool again, CancellationToken cancellation)
    {
        if (Token is null) return null;
        try
        {
            return await Token(cancellation);
        }
        catch (CliException e) when (again)
        {
            await Console.Error.WriteLineAsync($"meshctl: no new join token ({e.Message}); the sidecar goes on with the certificate it has");
            return null;
        }
    }

    public void Dispose()
    {
        if (!_ownsFolder || !Directory.Exists(_folder)) return;
        try
        {
            Directory.Delete(_folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"meshctl: the certificate of this run stays in {_folder}: {e.Message}");
        }
    }
}
