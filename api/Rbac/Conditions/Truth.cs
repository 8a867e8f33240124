namespace Mesh.Api.Rbac.Conditions;

/// <summary>
/// What a condition says of a request that may be read in more than one way. Ordered, so that "and" is the least, "or" the greatest, and
/// "not" the mirror image: an honest "maybe" comes out of any combination of conditions, and each action decides what it means.
/// </summary>
internal enum Truth
{
    /// <summary>It holds for no reading.</summary>
    No,

    /// <summary>It holds for some readings and not for others, or could not be found out.</summary>
    Maybe,

    /// <summary>It holds for every reading.</summary>
    Yes,
}

/// <summary>Arithmetic of <see cref="Truth"/>. Pure.</summary>
internal static class Truths
{
    public static Truth Of(bool holds) => holds ? Truth.Yes : Truth.No;

    public static Truth Not(this Truth truth) => (Truth)(Truth.Yes - truth);

    /// <summary>What holds for both of two readings.</summary>
    public static Truth Across(this Truth one, Truth other) => one == other ? one : Truth.Maybe;
}
