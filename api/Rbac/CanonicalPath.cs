using System.Buffers;

namespace Mesh.Api.Rbac;

/// <summary>
/// The one form in which rules see the path of a request, and the only one: percent-encoding undone once where the character stands for
/// itself in a path, written as <c>%XX</c> in upper case where it does not. Upper and lower case stay apart. What has no single meaning is a
/// <see cref="Problem"/>: the request is to be refused. Two things servers are known to read differently are kept as further readings
/// instead, since honest clients send them: parameters (<c>/a;v=1</c>, read with and without) and empty segments (<c>/a//b</c>, read as they
/// are and merged). A rule then decides by the reading that lets least through. Lives on the stack; dispose the one that <see cref="Read"/>
/// returned, not its copies.
/// </summary>
public readonly ref struct CanonicalPath
{
    /// <summary>Unreserved characters, sub-delimiters but for the semicolon, ":", "@" and the slash (RFC 3986 §3.3).</summary>
    private static readonly SearchValues<char> Plain =
        SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@/");

    private readonly ReadOnlySpan<char> first;
    private readonly ReadOnlySpan<char> withoutParameters;
    private readonly ReadOnlySpan<char> merged;
    private readonly ReadOnlySpan<char> bare;
    private readonly char[]? rented;

    private CanonicalPath(ReadOnlySpan<char> plain)
    {
        first = plain;
        Readings = 1;
    }

    private CanonicalPath(string problem) => Problem = problem;

    /// <summary>Slices of <paramref name="rented"/>, by the lengths of the readings in it; a reading of length 0 is none.</summary>
    internal CanonicalPath(char[] rented, ReadOnlySpan<int> lengths)
    {
        this.rented = rented;
        var at = 0;
        first = rented.AsSpan(at, lengths[0]);
        withoutParameters = rented.AsSpan(at += lengths[0], lengths[1]);
        merged = rented.AsSpan(at += lengths[1], lengths[2]);
        bare = rented.AsSpan(at + lengths[2], lengths[3]);
        Readings = 1;
        foreach (var length in lengths[1..]) Readings += length > 0 ? 1 : 0;
    }

    /// <summary>Why the path has no single meaning, in words for whoever sent it; null when it has one.</summary>
    public string? Problem { get; }

    /// <summary>How many ways there are to read it: 1 for nearly all, at most 4; 0 with a problem, or when there is no path.</summary>
    public int Readings { get; }

    /// <summary>The canonical form: the first reading.</summary>
    public ReadOnlySpan<char> Value => first;

    /// <summary>A reading by position.</summary>
    public ReadOnlySpan<char> this[int reading]
    {
        get
        {
            if (reading == 0) return first;
            if (withoutParameters.Length > 0 && --reading == 0) return withoutParameters;
            if (merged.Length > 0 && --reading == 0) return merged;
            return bare;
        }
    }

    /// <summary>Reads the path of an origin-form target, query and all; "*" is one too. Costs nothing but three looks for plain paths.</summary>
    public static CanonicalPath Read(ReadOnlySpan<char> target)
    {
        var query = target.IndexOf('?');
        var path = query < 0 ? target : target[..query];
        if (path is "*" || IsPlain(path)) return new CanonicalPath(path);
        return PathDecoder.Read(path, out var problem) is var (chars, lengths) ? new CanonicalPath(chars, lengths) : new CanonicalPath(problem!);
    }

    /// <summary>
    /// Brings what a rule says of paths into the same form; raw spaces and letters beyond ASCII may stand in it, as people write them.
    /// Null with the reason when no request could ever have it, so that a rule which can never hold is not taken for one that does.
    /// </summary>
    public static string? OfPattern(string text, PathPattern kind, out string? problem) => PathDecoder.Pattern(text, kind, out problem);

    /// <summary>Gives memory back.</summary>
    public void Dispose()
    {
        if (rented is not null) ArrayPool<char>.Shared.Return(rented);
    }

    internal static bool IsPlain(ReadOnlySpan<char> path) =>
        path.Length > 0 && path[0] == '/' && !path.ContainsAnyExcept(Plain)
        && path.IndexOf("//", StringComparison.Ordinal) < 0 && path.IndexOf("/.", StringComparison.Ordinal) < 0;
}

/// <summary>Which part of a path a literal in a rule stands for.</summary>
public enum PathPattern
{
    /// <summary>All of it.</summary>
    Exact,

    /// <summary>Its beginning.</summary>
    Prefix,

    /// <summary>Its end.</summary>
    Suffix,

    /// <summary>Any part.</summary>
    Contains,
}
